-- An address through format.
-- load: ok
-- call: policy
return function() return ("%p"):format({}) end
