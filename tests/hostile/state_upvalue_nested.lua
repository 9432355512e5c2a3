-- The assignment hidden two functions deep.
-- load: policy
local n = 0
return function() return (function() return (function() n = n + 1 return n end)() end)() end
