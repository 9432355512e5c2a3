-- NaN and nil as keys.
-- load: ok
-- call: policy
return function() local t = {} t[0 / 0] = 1 end
