-- Errors as fast as they can be raised.
-- load: ok
-- call: steps|time
return function() while true do pcall(error, "x") end end
