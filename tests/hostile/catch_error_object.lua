-- An error value whose __tostring loops.
-- load: ok
-- call: policy
return function() error(setmetatable({}, { __tostring = function() while true do end end })) end
