-- State in a coroutine that outlives the call.
-- load: policy
local co = coroutine.wrap(function() local n = 0 while true do n = n + 1 coroutine.yield(n) end end)
return function() return co() end
