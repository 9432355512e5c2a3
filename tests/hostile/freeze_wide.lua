-- A structure too large to keep.
-- load: steps|memory|time
local t = {} for i = 1, 1e9 do t[i] = { i } end return t
