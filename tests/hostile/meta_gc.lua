-- A finalizer.
-- load: policy
setmetatable({}, { __gc = function() while true do end end })
