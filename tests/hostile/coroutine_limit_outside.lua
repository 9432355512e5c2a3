-- A limit inside a coroutine that other coroutines wait for.
-- load: ok
-- call: steps
return function()
  local a = coroutine.wrap(function() while true do end end)
  local b = coroutine.wrap(function() pcall(a) coroutine.yield("caught") end)
  local c = coroutine.wrap(function() pcall(b) return "caught" end)
  return c()
end
