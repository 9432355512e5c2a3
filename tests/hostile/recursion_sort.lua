-- A comparison function that sorts.
-- load: ok
-- call: steps|policy
local function less() local t = { 3, 2, 1 } table.sort(t, less) return true end
return function() while true do pcall(less) end end
