-- A counter in an upvalue.
-- load: policy
local n = 0
return function() n = n + 1 return n end
