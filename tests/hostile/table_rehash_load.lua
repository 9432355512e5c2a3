-- Rehashing while loading.
-- load: steps|time
local t = {}
for i = 1, 8191 do t["k" .. i] = true end
for i = 1, 1e9 do t["x" .. i] = true t["x" .. i] = nil end
