-- A comparison function that loops.
-- load: ok
-- call: steps
return function() table.sort({ 1, 2 }, function() while true do end end) end
