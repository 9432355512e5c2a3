-- __len that loops.
-- load: ok
-- call: steps
local t = setmetatable({}, { __len = function() while true do end end })
return function() return #t end
