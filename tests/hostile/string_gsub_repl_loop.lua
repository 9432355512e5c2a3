-- Gsub with a table whose __index loops.
-- load: ok
-- call: steps
return function() return ("aaa"):gsub(".", setmetatable({}, { __index = function() while true do end end })) end
