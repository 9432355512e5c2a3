-- Coroutines nested through wrap in their own bodies.
-- load: ok
-- call: policy
return function()
  local function f() return coroutine.wrap(f)() end
  return f()
end
