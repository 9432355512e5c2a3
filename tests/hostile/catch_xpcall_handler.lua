-- A message handler that loops itself.
-- load: ok
-- call: steps
return function() xpcall(function() while true do end end, function() while true do end end) return "survived" end
