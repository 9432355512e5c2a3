-- The longest integer loop.
-- load: ok
-- call: steps
return function() for i = math.mininteger, math.maxinteger do end end
