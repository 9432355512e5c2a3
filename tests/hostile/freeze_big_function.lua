-- A large function made thousands of times.
-- load: steps|time|memory
local fs = {}
for i = 1, 100000 do
fs[i] = function() local t = {}
--@ repeat 1000 t[%d] = i
end end
return fs
