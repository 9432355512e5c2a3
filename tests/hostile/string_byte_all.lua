-- All bytes of a long text at once.
-- load: ok
-- call: policy
return function() return ("x"):rep(60000):byte(1, -1) end
