-- Move between tables whose access loops.
-- load: ok
-- call: steps
return function() table.move(setmetatable({}, { __index = function() while true do end end }), 1, 10, 1, {}) end
