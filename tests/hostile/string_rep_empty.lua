-- Rep of nothing, a billion times.
-- load: ok
-- call: ok
-- result: 
return function() return (""):rep(1 << 40) end
