-- Recursion through pcall, which nests in C.
-- load: ok
-- call: steps|policy
local function f() local ok, e = pcall(f) return ok, e end
return function() while true do f() end end
