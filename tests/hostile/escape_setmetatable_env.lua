-- Another metatable for the environment.
-- load: policy
setmetatable(_G, { __index = function(_, k) return k end })
