-- An __index function that hopes to be given the shadow.
-- load: ok
-- call: policy
local t = setmetatable({ x = 1 }, { __index = function(self, k) self.stolen = k end })
return function() return t.missing end
