-- Doubling a string with ...
-- load: ok
-- call: limit|memory|steps
return function() local s = "x" while true do s = s .. s end end
