-- An assignment that would never run.
-- load: policy
local n = 0
return function() if false then n = 1 end return n end
