-- A counter in the library.
-- load: ok
-- call: policy
return function() string.n = 1 end
