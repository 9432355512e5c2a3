-- The coroutine hidden in an upvalue of an upvalue.
-- load: policy
local co = coroutine.create(function() local n = 0 while true do n = n + 1 coroutine.yield(n) end end)
local function inner() return co end
return { { function() return select(2, coroutine.resume(inner())) end } }
