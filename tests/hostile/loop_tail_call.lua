-- Endless tail calls, which need no stack.
-- load: ok
-- call: steps
local function f() return f() end
return f
