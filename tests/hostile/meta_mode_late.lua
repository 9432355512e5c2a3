-- Weakness put in after the metatable was set.
-- load: policy
local mt = {} local t = setmetatable({}, mt) mt.__mode = "k"
return { cache = t, run = function() end }
