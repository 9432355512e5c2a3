-- The position of gmatch.
-- load: policy
local it = ("abc"):gmatch(".")
return function() return it() end
