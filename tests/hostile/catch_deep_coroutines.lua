-- As many coroutines as may wait for one another, each full of pcalls.
-- load: ok
-- call: steps|time|policy
return function()
  local function nest(n, f) if n == 0 then return f() end pcall(nest, n - 1, f) end
  local function co(n) return coroutine.wrap(function() nest(40, n > 0 and function() return co(n - 1)() end or function() while true do end end) end) end
  while true do co(15)() end
end
