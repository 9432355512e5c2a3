-- Recursion without an end.
-- load: ok
-- call: steps|memory|policy
local function f(n) return 1 + f(n + 1) end
return function() return f(0) end
