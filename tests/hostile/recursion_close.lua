-- Closing one coroutine inside the next.
-- load: ok
-- call: steps
local function nest(n) return coroutine.wrap(function() if n > 0 then nest(n - 1)() end coroutine.yield(n) end) end
return function() while true do pcall(nest(300)) end end
