-- A finalizer put in after the metatable was set.
-- load: policy
local mt = {} local t = setmetatable({}, mt) mt.__gc = function() while true do end end
return { run = function() return t end }
