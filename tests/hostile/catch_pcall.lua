-- The limit caught and the loop begun again.
-- load: ok
-- call: steps
return function() while true do pcall(function() while true do end end) end end
