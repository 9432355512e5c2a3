-- A counter in a table that is only a key.
-- load: ok
-- call: policy
local key = { n = 0 } local t = { [key] = 1 }
return function() for k in next, t do k.n = 1 end end
