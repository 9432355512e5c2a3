-- A method that writes to the object it is called on.
-- load: ok
-- call: policy
local Counter = {} Counter.__index = Counter
function Counter:bump() self.n = self.n + 1 return self.n end
local c = setmetatable({ n = 0 }, Counter)
return function() return c:bump() end
