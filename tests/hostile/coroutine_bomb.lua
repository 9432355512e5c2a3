-- Thousands of live coroutines.
-- load: ok
-- call: steps|memory
return function() local t = {} for i = 1, 1e9 do t[i] = coroutine.create(function() coroutine.yield() end) coroutine.resume(t[i]) end end
