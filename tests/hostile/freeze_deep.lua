-- A structure a thousand levels deep.
-- load: ok|steps
-- call: ok
-- result: 1000
local t = {} for _ = 1, 1000 do t = { t } end
return function() local n, u = 0, t while u[1] do n, u = n + 1, u[1] end return n end
