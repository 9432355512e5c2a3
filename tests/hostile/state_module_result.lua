-- A module's table changed by the one that required it.
-- load: policy
if ... then return {} end
local t = require "state_module_result"
return t
