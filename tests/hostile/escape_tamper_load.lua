-- The shared library changed while loading.
-- load: policy
string.format = function() return "owned" end
