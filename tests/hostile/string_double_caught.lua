-- The same, with each doubling caught.
-- load: ok
-- call: limit|memory|steps
return function() local s = "x" while true do pcall(function() s = s .. s end) end end
