-- Rep that would need gigabytes.
-- load: ok
-- call: limit
return function() return ("x"):rep(1 << 34) end
