-- A structure that contains itself in every way.
-- load: ok
-- call: ok
-- result: true
local t = {} t.t = t t[t] = t t.f = function() return t end setmetatable(t, t) t.__index = t
return function() return t.t[t].f().t == t end
