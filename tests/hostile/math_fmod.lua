-- The slowest remainders there are.
-- load: ok
-- call: steps|time
return function() while true do local _ = math.fmod(1e308, 5e-324), 1e308 % 5e-324, 2 ^ 0.5, 1e308 % 3e-320 end end
