-- A float loop whose step is lost in rounding.
-- load: ok
-- call: steps
return function() local n = 0 for x = 2^53, math.huge, 0.25 do n = n + 1 end end
