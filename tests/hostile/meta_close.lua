-- A to-be-closed variable.
-- load: policy
return function() local guard <close> = nil end
