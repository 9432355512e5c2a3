-- A counter in a global.
-- load: ok
-- call: policy
return function() n = (n or 0) + 1 return n end
