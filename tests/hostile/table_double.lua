-- A table that doubles.
-- load: ok
-- call: steps|memory|time
return function() local t = { 1 } while true do for i = 1, #t do t[#t + 1] = i end end end
