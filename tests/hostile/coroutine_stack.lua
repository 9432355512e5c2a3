-- A coroutine with a deep stack, abandoned, again and again.
-- load: ok
-- call: steps|memory
return function()
  local function deep(n) if n == 0 then coroutine.yield() end return 1 + deep(n - 1) end
  while true do coroutine.resume(coroutine.create(deep), 1000) end
end
