-- Rep whose length overflows.
-- load: ok
-- call: limit
return function() return ("xxxxxxxx"):rep(math.maxinteger, "yyyyyyyy") end
